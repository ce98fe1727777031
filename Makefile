# Thin on purpose: everything is in xtask/.
CARGO ?= cargo

.PHONY: demo test bench linker

demo test bench: linker
	$(CARGO) xtask $@

# cargo needs a linker before xtask can install anything.
linker:
	@command -v cc >/dev/null || { \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -q -y install --no-install-recommends gcc libc6-dev || \
		{ apt-get -q update && apt-get -q -y install --no-install-recommends gcc libc6-dev; }; }
