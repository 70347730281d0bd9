#!/bin/sh
# Made by surefoot for the time of one package transaction: the services named in `units` are started by it, once they are
# configured, and systemd reads its units anew once when it ends, or before something else is started. Everything else goes to the real program.
here='@FOLDER@'
# Scripts may have put folders of their own before it.
path=:$PATH:
case $path in
*":$here:"*)
    PATH=${path%%":$here:"*}:${path#*":$here:"}
    PATH=${PATH#:}
    PATH=${PATH%:}
    ;;
esac
program=${0##*/}

is_start() {
    case $1 in
    start | restart | reload | force-reload | try-restart | condrestart | force-restart) ;;
    reload-or-restart | try-reload-or-restart | reload-or-try-restart) ;;
    # Done by who manages the service, once it is configured: a host that is switched off before would start it as it comes otherwise.
    enable | reenable | preset) ;;
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

# Does something start the unit at boot already?
is_enabled() {
    for link in '@ROOT@'/etc/systemd/system/*.wants/"$1" '@ROOT@'/etc/systemd/system/*.requires/"$1"; do
        if [ -L "$link" ]; then return 0; fi
    done
    return 1
}

# What was put off.
catch_up() {
    case $1 in
    '' | stop | status | is-* | list-*) ;;
    *)
        if [ -e "$here/reload" ] || [ -e "$here/reloading" ]; then
            # Who asks from now on is heard again, and a kill forgets nothing.
            mv -f -- "$here/reload" "$here/reloading" 2>/dev/null
            systemctl daemon-reload && rm -f -- "$here/reloading"
        fi
        ;;
    esac
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
    catch_up "$action"
    ;;
deb-systemd-helper)
    # [OPTION...] ACTION UNIT...
    case " $* " in
    *' --user '*) ;;
    *' unmask '*)
        # It takes off what it once made, and it takes a while to find that there is nothing.
        for arg; do
            if [ -L '@ROOT@'/etc/systemd/system/"$arg" ]; then exec "$program" "$@"; fi
        done
        exit 0
        ;;
    *' enable '*)
        code=0 real=$(command -v "$program")
        for arg; do
            case $arg in
            -* | enable) ;;
            *)
                if is_held "$arg" && ! is_enabled "$unit"; then
                    # It writes down what it has enabled, which its package needs later, and finds that `systemctl preset` does nothing.
                    PATH=$here:$PATH "$real" enable "$arg" || code=$?
                    # Older ones make the links themselves.
                    if is_enabled "$unit"; then xargs -r rm -f -- <'@ROOT@'/var/lib/systemd/deb-systemd-helper-enabled/"$unit.dsh-also"; fi
                else
                    "$real" enable "$arg" || code=$?
                fi
                ;;
            esac
        done
        exit "$code"
        ;;
    esac
    ;;
*)
    # [OPTION...] ACTION [UNIT...]
    action='' dropped='' left='' root=''
    for arg; do
        case $arg in
        --user | --global | --machine=* | --host=* | -M* | -H*) action=other ;;
        --root=*) root=yes ;;
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
    # Each package asks for it, some twice, and it takes systemd a fifth of a second of work.
    if [ "$action" = daemon-reload ] && [ -d '@ROOT@'/run/systemd/system ]; then
        if true >"$here/reload"; then exit 0; fi
    fi
    if [ -z "$root" ]; then catch_up "$action"; fi
    ;;
esac
exec "$program" "$@"
