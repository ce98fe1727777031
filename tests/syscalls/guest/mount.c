/* Mounting, as a container without CAP_SYS_ADMIN meets it. */
#include "guest.h"

#include <sys/mount.h>

static void calls(void) {
    T("tmpfs", mount, "none", "/work/dir", "tmpfs", 0, NULL);
    T("bind", mount, "/work", "/mnt", NULL, MS_BIND, NULL);
    T("remount", mount, NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    T("private", mount, NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL);
    T("efault", mount, BAD, BAD, BAD, 0, BAD);
    T("efault_target", mount, "none", BAD, "tmpfs", 0, NULL);
    T("enoent", mount, "none", "/work/none", "tmpfs", 0, NULL);
    T("tmp", umount2, "/tmp", 0);
    T("detach", umount2, "/proc", MNT_DETACH);
    T("efault", umount2, BAD, 0);
    T("flags", umount2, "/tmp", 0x100);
    T("enoent", umount2, "/work/none", 0);
    T("not_mounted", umount2, "/work", 0);
    T("here", pivot_root, ".", ".");
    T("dirs", pivot_root, "/work", "/work/dir");
    T("off", swapoff, "/work/file");
    T("on", swapon, "/work/file", 0);
}

FAMILY(mount) { SECTION(calls); }
