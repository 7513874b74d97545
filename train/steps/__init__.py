"""The steps of ``python -m train``, a file each."""
