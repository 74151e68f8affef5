"""The SSH carrier in Python. The only package that knows paramiko; its errors become ours here."""
