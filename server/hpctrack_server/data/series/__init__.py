"""Numbers of many runs for one chart: aligned, smoothed, grouped, shrunk."""
