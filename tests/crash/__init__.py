"""A process dies at each named point; what recovers is proven with a tool that is not ours."""
