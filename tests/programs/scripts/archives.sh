# tar and gzip: a tree with every kind of file there and back.
cd /tmp && mkdir -p src/deep/er && cd src
echo hello > plain; chmod 640 plain; ln plain hard; ln -s plain soft; mkfifo fifo; dd if=/dev/zero of=sparse bs=1 count=1 seek=5M status=none
seq 1 50000 > deep/numbers; head -c 300000 /dev/zero > deep/er/zeros
touch -d @1000000000 plain deep; chmod 2755 deep/er
cd ..
tar -cf a.tar src; tar -tvf a.tar | awk '{print $1,$2,$6}' | sort
mkdir out && tar -C out -xpf a.tar && diff -r --no-dereference src out/src; echo "diff $?"
(cd src && find . -printf '%p %y %m %U %G %s\n' | sort) > before; (cd out/src && find . -printf '%p %y %m %U %G %s\n' | sort) > after; cmp before after; echo "attributes $?"
stat -c '%Y %h' out/src/plain
tar -Szcf sparse.tar.gz src/sparse && mkdir out2 && tar -C out2 -xzf sparse.tar.gz && cmp src/sparse out2/src/sparse && du -k out2/src/sparse | cut -f1
gzip -k -9 src/deep/numbers; gzip -t src/deep/numbers.gz && gzip -l src/deep/numbers.gz | awk 'NR==2{print $2}'
zcat src/deep/numbers.gz | md5sum
tar -C / --exclude=share -cf - usr/lib/git-core usr/share/perl 2>/dev/null | md5sum | wc -l
tar -cf - -C /usr/bin . | gzip -1 | gzip -dc | tar -tf - | wc -l
tar -xf a.tar --to-stdout src/plain
tar --numeric-owner --owner=77 --group=88 -cf o.tar src/plain && mkdir o && tar -C o -xf o.tar; stat -c '%u %g' o/src/plain
