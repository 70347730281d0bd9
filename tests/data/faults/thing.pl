#!/usr/bin/perl
# A server that says hello on port 7070, unless /srv/thing says otherwise: "die" or "silent".
use strict;
use warnings;
use Socket;

my $mode = '';
if (open(my $file, '<', '/srv/thing')) { $mode = <$file> // ''; }
$| = 1;
if ($mode =~ /die/) { print STDERR "lab-thing: /srv/thing: line 1: no such colour\n"; exit 3; }
if ($mode =~ /silent/) { print "lab-thing: waiting for the moon\n"; sleep(100000); }
socket(my $server, AF_INET, SOCK_STREAM, 0) or die "socket: $!";
setsockopt($server, SOL_SOCKET, SO_REUSEADDR, 1);
bind($server, pack_sockaddr_in(7070, INADDR_LOOPBACK)) or die "bind: $!";
listen($server, 5) or die "listen: $!";
while (accept(my $client, $server)) { print $client "hello\n"; close($client); }
