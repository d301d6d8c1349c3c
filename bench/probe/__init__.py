"""`sslbench probe`: micro-kernels timed on this machine, and the profile that they make."""
