"""Target models: who is loaded, how an article becomes a prompt, and which engine multiplies."""
