#!/bin/bash
# As many workers as WORKERS says, 10 where it does not.
case "$1" in
start) for n in $(seq "${WORKERS:-10}"); do systemctl start "st2actionrunner@$n" & done; wait ;;
stop) systemctl stop 'st2actionrunner@*' ;;
*) echo "usage: runners.sh start|stop" >&2; exit 1 ;;
esac
