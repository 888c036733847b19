"""GitOps for Cloudflare Workers for Platforms."""

# What pip calls it: the package index has another project under the name reconciler, which the command and this
# package bear.
DISTRIBUTION = "wfp-reconciler"
