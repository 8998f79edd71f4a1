"""The tests; a package, because ltp-core installs one of the same name."""
