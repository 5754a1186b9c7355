"""The grants that the token endpoint takes, each as Authlib's, with what Authlib leaves open closed."""
