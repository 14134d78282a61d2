#!/bin/sh
# Fetches what the pages show and packs it. Run it in this directory, and put the
# versions into vendored/README.md.
set -eu
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
take() { # package file...
	pkg=$1
	shift
	npm pack --silent --pack-destination "$t" "$pkg" >/dev/null
	tar xzf "$t"/*.tgz -C "$t"
	for f in "$@"; do
		gzip -9nc "$t/package/${f%:*}" >"vendored/${f#*:}.gz"
	done
	rm -rf "$t"/*.tgz "$t/package"
}
take swagger-ui-dist@5.35.0 swagger-ui-bundle.js:swagger-ui.js swagger-ui.css:swagger-ui.css LICENSE:swagger-ui.LICENSE NOTICE:swagger-ui.NOTICE \
	swagger-ui-bundle.js.LICENSE.txt:swagger-ui.bundled.LICENSE
take graphiql@4.1.2 graphiql.min.js:graphiql.js graphiql.min.css:graphiql.css LICENSE:graphiql.LICENSE
# Its fonts are five times as large as all its style, and browsers have others.
gzip -dc vendored/graphiql.css.gz | perl -0777 -pe 's/\@font-face\s*\{[^}]*\}//g' | gzip -9nc >"$t/css" && mv "$t/css" vendored/graphiql.css.gz
take react@18.3.1 umd/react.production.min.js:react.js LICENSE:react.LICENSE
take react-dom@18.3.1 umd/react-dom.production.min.js:react-dom.js LICENSE:react-dom.LICENSE
