"""GitOps for Cloudflare Workers for Platforms."""
