print("a Python Worker")
