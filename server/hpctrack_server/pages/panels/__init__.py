"""What panels other than line charts draw: values of many runs."""
