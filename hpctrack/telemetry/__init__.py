"""What a node and a job use: sensors that the agent reads once per node, never once per rank."""
