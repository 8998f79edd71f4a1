"""Level 5: one checkpoint → answers (a file here is a kind of prediction; torch).

A kind is a file with a frozen dataclass `Predict` whose fields are its options (flags); its method
`load(folder, top_k=5, batch_size=32)` returns a `Predictor` (`hanmo.predict._predictor`):

    ask = registry.load("hanmo.predict", "fill-mask").Predict().load(Path("model"))
    ask(["我在[MASK][MASK]工作。"])[0]["words"][0]["fillings"]
"""
