"""What a run was made of: program, code, packages, machine. Read once, secrets left out."""
