"""What ``deploy/`` promises of containers and clusters, checked without one."""
