"""The embedded platform: an emulated Cloudflare account, met only over HTTP.

Law: nothing here imports the planner, the API client or any other part of the reconciler but `errors` and
`bindings`. Code that both sides shared would agree with itself.
"""
