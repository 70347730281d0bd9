#!/usr/bin/perl
# hold.pl lock PATH [SECONDS]   holds a lock as apt and dpkg do, for so long
# hold.pl port 4|6 PORT         listens there, on that family alone
# Held by a process in the background, whose pid is in /run/held, when this ends.
use strict;
use warnings;
use Fcntl;
use Socket qw(:DEFAULT pack_sockaddr_in6 IPPROTO_IPV6 IPV6_V6ONLY IN6ADDR_ANY);

my ($what, $which, $more) = @ARGV;
pipe(my $reads, my $writes) or die "pipe: $!";
if (fork()) {
    close($writes);
    my $said = <$reads> // "nothing\n";
    die "$what $which: $said" if $said ne "held\n";
    exit;
}
my $thing;
my $done;
if ($what eq 'lock') {
    my $lock = pack('s s x4 q q l x4', F_WRLCK, 0, 0, 0, 0);
    $done = sysopen($thing, $which, O_RDWR | O_CREAT, 0640) && fcntl($thing, F_SETLK, $lock);
} else {
    socket($thing, $which == 6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    setsockopt($thing, SOL_SOCKET, SO_REUSEADDR, 1);
    setsockopt($thing, IPPROTO_IPV6, IPV6_V6ONLY, 1) if $which == 6;
    my $address = $which == 6 ? pack_sockaddr_in6($more, IN6ADDR_ANY) : pack_sockaddr_in($more, INADDR_ANY);
    $done = bind($thing, $address) && listen($thing, 5);
    $more = undef;
}
if (!$done) { print $writes "$!\n"; exit 1; }
open(my $held, '>', '/run/held') or die "/run/held: $!";
print $held "$$\n";
close($held);
print $writes "held\n";
close($writes);
open(STDIN, '<', '/dev/null');
open(STDOUT, '>', '/dev/null');
open(STDERR, '>', '/dev/null');
sleep($more // 100000);
