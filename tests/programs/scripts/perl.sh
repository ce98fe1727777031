# perl: forks, pipes, sockets, file tests.
cd /tmp
perl -e '
use strict; use warnings; use Socket; use IO::Socket::INET; use POSIX qw(:sys_wait_h); use File::Find; use Fcntl qw(:flock);
my @kids; for my $i (1..20) { my $p = fork(); if (!$p) { exit $i } push @kids, $p } my $sum = 0; for (@kids) { waitpid($_, 0); $sum += $? >> 8 } print "sum $sum\n";
pipe(my $r, my $w); if (!fork()) { close $r; print $w "from child\n"; exit } close $w; print <$r>; wait;
open(my $p, "-|", "sort", "-r", "/etc/group") or die; my @l = <$p>; close $p; print scalar(@l) > 10 ? "lines\n" : "few\n";
my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1") or die; if (!fork()) { my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $s->sockport); print $c "tcp\n"; exit } my $c = $s->accept; print <$c>; wait;
local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select(undef, undef, undef, 5); }; print $@;
my $n = 0; find(sub { $n++ }, "/usr/share/perl"); print $n > 10 ? "found\n" : "none\n";
open(my $f, ">", "/tmp/lock") or die; print flock($f, LOCK_EX) ? "locked\n" : "no\n"; print -r "/etc/shadow" ? "r" : "-", -d "/tmp" ? "d" : "-", "\n";
print `echo backticks`; system("exit 9"); print $? >> 8, "\n"; print((getpwuid($<))[0], " $( \n"); $0 = "renamed"; print "$0\n";
kill "USR1", $$ if 0; my $k = fork(); if (!$k) { sleep 100 } kill 9, $k; waitpid($k, 0); print $? & 127, "\n";
'
perl -MDigest::SHA -e 'print Digest::SHA->new(256)->addfile("/etc/passwd")->hexdigest =~ /^[0-9a-f]{64}$/ ? "sha\n" : "bad\n"'
perl -e 'exec "no-such-program" or print "$!\n"'
