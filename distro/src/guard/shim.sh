#!/bin/sh
# Made by surefoot for the time of one package transaction: the services named in `units` are started by it, once they are
# configured. Everything else goes to the real program.
here='@FOLDER@'
PATH=${PATH#"$here":}
program=${0##*/}

is_start() {
    case $1 in
    start | restart | reload | force-reload | try-restart | condrestart | force-restart) ;;
    reload-or-restart | try-reload-or-restart | reload-or-try-restart) ;;
    # Refused by systemd while the unit is masked, and done by who manages the service.
    enable | reenable) ;;
    *) return 1 ;;
    esac
}

is_held() {
    unit=$1
    case $unit in
    *.service | *.socket | *.timer | *.path | *.target | *.mount) ;;
    *) unit=$unit.service ;;
    esac
    grep -qxF -e "$unit" -e "${unit%%@*}.service" "$here/units"
}

# Enables units as `systemctl --root=/ preset UNIT...` does for a new package: nothing is started by that, and the service manager is
# not told. Masks of ours are set aside meanwhile, since it would refuse units that have one.
preset() {
    aside=''
    for unit; do
        mask=@MASKS@/$unit
        if grep -qxF -e "$unit" "$here/masks" && [ -L "$mask" ] && rm -f "$mask"; then aside="$aside $mask"; fi
    done
    "$program" "$@"
    code=$?
    for mask in $aside; do ln -s /dev/null "$mask"; done
    exit "$code"
}

case $program in
invoke-rc.d | service)
    # [OPTION...] SERVICE ACTION [ARGUMENT...]
    name='' action=''
    for arg; do
        case $arg in
        --query) break ;;
        --full-restart) action=restart ;;
        -*) ;;
        *) if [ -z "$name" ]; then name=$arg; else action=${action:-$arg}; fi ;;
        esac
    done
    if [ -n "$action" ] && is_start "$action" && is_held "$name"; then
        exit 0
    fi
    ;;
*)
    # [OPTION...] ACTION [UNIT...]
    action='' dropped='' left=''
    for arg; do
        case $arg in
        --user | --global) action=other ;;
        preset) preset "$@" ;;
        esac
    done
    for arg; do
        shift
        case $arg in
        -*) ;;
        *)
            if [ -z "$action" ]; then
                action=$arg
            elif is_start "$action" && is_held "$arg"; then
                dropped=yes
                continue
            else
                left=yes
            fi
            ;;
        esac
        set -- "$@" "$arg"
    done
    if [ -n "$dropped" ] && [ -z "$left" ]; then
        exit 0
    fi
    ;;
esac
exec "$program" "$@"
