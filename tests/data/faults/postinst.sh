#!/bin/sh
set -e
if [ -e /srv/postinst-fails ]; then
    echo "lab-thing: cannot read the almanac /srv/almanac" >&2
    exit 1
fi
