def on_fetch(request):
    return None
