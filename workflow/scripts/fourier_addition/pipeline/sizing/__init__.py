"""What each job needs: host memory, GPU memory, GPUs and minutes, from the sizes in a configuration."""
