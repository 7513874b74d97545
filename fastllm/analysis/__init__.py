"""What is made of traces and runs: figures, counts, trials. Pure but for league and lab, which run models."""
