"""Updates made smaller: what is kept of them, how it is rounded, and what stays for later."""
