# Files, owners, modes, links, copies and text with coreutils.
cd /tmp && mkdir -p c && cd c
id; whoami; groups; pwd -P
touch a; ln a b; ln -s a l; ln -s nowhere d; mkfifo f; mkdir -p x/y/z
stat -c '%n %F %a %U %G %h %s' a b l d f x
ls -1AF; ls -l l | cut -c1-10
cp -a x x2; cp --reflink=auto a a2; cp -r --preserve=all /etc/skel skel; ls -1A skel
mv a2 x2/y; ls -R x2
chmod u+s,g-w,o= a; stat -c %a a; chmod 1777 x; stat -c %a x
chown 12:34 a 2>&1; stat -c '%u %g' a
chgrp "$(id -g)" a; echo "chgrp $?"
touch -d '2001-02-03 04:05:06.789 UTC' a; stat -c '%y' a | cut -d. -f1; date -u -r a +%s
truncate -s 1M big; stat -c %s big; dd if=/dev/zero of=big bs=64k count=4 conv=notrunc status=none; du -k --apparent-size big
fallocate -l 2M pre && stat -c %s pre
head -c 1000000 /dev/zero | sha256sum
dd if=/dev/urandom bs=1k count=10 status=none | wc -c
cat /etc/passwd > /dev/null && echo readable
cat /etc/shadow > /dev/null 2>&1; echo "shadow $?"
echo x > /etc/new-file 2>/dev/null; echo "etc $?"
rm /etc/new-file 2>/dev/null
readlink -f l; realpath x/../l; basename /a/b.c .c; dirname /a/b
mktemp -d -p . t.XXXX | tr -d '[:alnum:]'; rmdir t.*; mktemp -u /tmp/q.XXXXXXXX | wc -c
rm -r x2; rmdir x/y 2>&1; rm -rf x; ls -1
seq 5 | tac | paste -sd+; seq 10 | shuf --random-source=/dev/zero | wc -l
printf '%s\n' b a c | sort -r | nl | sed 's/  */ /g'
split -n 3 --additional-suffix=.part /etc/passwd; cat x??.part | cmp - /etc/passwd && echo joined
timeout 0.2 sleep 10; echo "timeout $?"
timeout -s KILL 0.2 sleep 10; echo "timeout $?"
nice -n 5 nice; nproc --all > /dev/null; echo "nproc $?"
env -i A=1 env; test -w /etc/passwd; echo "writable $?"
df --output=target /tmp /dev /dev/shm | tail -3; df -T /proc 2>/dev/null | awk '{print $2}' | tail -1
stty -a 2>&1 | head -1; tty
install -m 640 /etc/passwd inst && stat -c %a inst
echo data | tee t1 t2 > /dev/null; cmp t1 t2 && echo same
sync; sync -f t1; echo "sync $?"
chroot / true 2>/dev/null; echo "chroot $?"
mknod null c 1 3 2>/dev/null; echo "mknod $?"; echo x > null 2>/dev/null; echo "null $?"
uname -sm; hostname; arch
cat nosuch 2>&1; ls /root > /dev/null 2>&1; echo "root $?"
kill -0 1 2>/dev/null; echo "init $?"
comm -12 <(seq 1 5) <(seq 3 8) | tr '\n' ' '; echo
factor 123456789; expr 2 + 3; numfmt --to=iec 123456
