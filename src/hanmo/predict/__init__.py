"""Level 6: one checkpoint → answers (a file here is a kind of answer; torch).

A kind is a file with a frozen dataclass `Predict` whose fields are its options (flags); its method
`load(folder, top_k=5, how=How())` returns a `Predictor` (`hanmo.predict._predictor`). What runs the
model, and in which batches, is an `Engine`'s affair (`hanmo.predict._engine`):

    ask = registry.load("hanmo.predict", "fill-mask").Predict().load(Path("model"))
    ask(["我在[MASK][MASK]工作。"])[0]["words"][0]["fillings"]
"""
