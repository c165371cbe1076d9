# Everything here runs as root on a fresh Debian or Ubuntu machine with Node, npm and make.
BUN := node_modules/.bin/bun
SOURCES := $(shell find src -name '*.ts' -not -name '*.test.ts')

.PHONY: build demo test lint bench install clean setup

build: dist/brig

setup: node_modules/.installed
	@tools/setup run

node_modules/.installed: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	node node_modules/bun/install.js
	touch $@

dist/brig: node_modules/.installed $(SOURCES) tools/build.ts
	$(BUN) tools/build.ts

demo: setup build
	tools/demo

lint: node_modules/.installed
	$(BUN) tools/lint.ts

test: setup build
	tools/setup test
	$(BUN) tools/test.ts

bench: setup build
	tools/setup bench
	$(BUN) bench/run.ts
	$(BUN) bench/images.ts

install: build
	install -D -m 0755 dist/brig $(DESTDIR)/usr/local/bin/brig
	ln -sf brig $(DESTDIR)/usr/local/bin/brigd

clean:
	rm -rf dist node_modules
