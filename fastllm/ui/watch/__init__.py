"""The tab in which a run is watched."""
