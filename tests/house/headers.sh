#!/bin/sh
# Every header compiles alone. Usage: headers.sh SOURCE_DIR CC [FLAGS...]
set -u
cd "$1" || exit 1
cc=$2
shift 2
status=0
count=0
for header in $(find base data artifacts pipelines gates stages deployers runner -name '*.h' | sort); do
	count=$((count + 1))
	printf '#include "%s"\n' "$header" | "$cc" -std=c17 -D_GNU_SOURCE -I. "$@" -fsyntax-only -Wall -Werror -x c - || { echo "$header does not compile alone"; status=1; }
done
echo "$count headers"
[ "$count" -gt 30 ] && exit $status
echo "too few headers found"
exit 1
