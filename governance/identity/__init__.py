"""Who is who: authority, certificates, keys, names, enrolment and revocation."""
