# find, xargs and locate-like walks over the image and over special file systems.
cd /usr/share
find . -xdev | wc -l
find . -xdev -type f -size +100k | sort | md5sum
find . -xdev -type l -print0 | sort -z | xargs -0 -n 50 ls -d | md5sum
find /etc -xdev -name '*.conf' | sort | md5sum
find /usr/bin -perm -4000 -printf '%f %u %m\n' | sort
find / -xdev -newer /nosuch 2>&1
find /etc -maxdepth 1 -type f -exec grep -l root {} + | sort
mkdir -p /tmp/f && cd /tmp/f && seq 1 3000 | xargs touch && find . -type f | wc -l
find . -name '*7' -delete; ls | wc -l
find . -type f | xargs -P 4 -n 100 ls | wc -l
find /proc/self/ -maxdepth 1 -name 'status' ; find /proc -maxdepth 1 -name '[0-9]*' > pids; grep -c . pids
find /dev -type c | sort
find /sys -maxdepth 1 | sort
ls -lAR /etc | md5sum
