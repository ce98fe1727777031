# apt-get install of a local package with a maintainer script, and its removal.
cd /tmp && mkdir -p p/DEBIAN p/usr/bin p/etc
cat > p/DEBIAN/control <<'END'
Package: caisson-sample
Version: 1.2
Architecture: all
Maintainer: Nobody <nobody@example.org>
Depends: bash
Description: a sample
END
printf '#!/bin/sh\nset -e\n[ "$1" = configure ] && adduser --version > /dev/null 2>&1 || true\necho configured > /var/lib/sample\n' > p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst
printf '#!/bin/sh\necho sample program\n' > p/usr/bin/sample; chmod 755 p/usr/bin/sample; echo conf > p/etc/sample.conf; echo /etc/sample.conf > p/DEBIAN/conffiles
dpkg-deb --root-owner-group -b p sample.deb > /dev/null; echo "build $?"; dpkg-deb -I sample.deb | grep Version; dpkg-deb -c sample.deb | awk '{print $1,$2,$6}'
export DEBIAN_FRONTEND=noninteractive
apt-get install -y ./sample.deb > apt.log 2>&1; echo "install $?"; grep -E '^(Setting up|E:)' apt.log
sample; cat /var/lib/sample; dpkg -s caisson-sample | grep Status; dpkg -L caisson-sample | sort; dpkg -V caisson-sample; echo "verify $?"
echo changed > /etc/sample.conf; dpkg -V caisson-sample
apt-get remove -y caisson-sample > /dev/null 2>&1; echo "remove $?"; ls /etc/sample.conf; dpkg -P caisson-sample 2>&1 | tail -1; ls /usr/bin/sample 2>&1
dpkg -l | wc -l | tr 0-9 N; dpkg --audit; echo "audit $?"; apt-cache policy bash | head -1; apt-mark showhold | wc -l
