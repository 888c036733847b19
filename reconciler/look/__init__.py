"""Look: what is live, at a bounded number of calls, and all that is known of how to ask for it.

listing           where to begin: everything that is live, as it was seen; row_tags where a listing shows no tags
ahead             the listing, begun before the repository is loaded
ledger            what our own uploads got; answers is what a probe learnt of the account
wire              a Worker in Cloudflare's form, both ways

cloudflare        the calls; replies is what their answers mean, pages a page of the listing, by way of plain_pages
exchange          one request and its reply; transport waits and retries, budget says when it may go
"""
