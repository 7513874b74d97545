"""Training code: everything that makes what lies in checkpoints/. Run as ``python -m train STEP``."""
