//! The C library's memory allocator.

/// Have one arena for all threads, mallopt(3). To be called before there is a second thread.
///
/// When glibc first shrinks one of the arenas that threads have beside the main one, it opens
/// `/proc/sys/vm/overcommit_memory` (malloc/arena.c, `shrink_heap`), whoever the thread is and whatever tree it is in,
/// with the arena locked. The main arena grows and shrinks by brk(2) and opens nothing.
pub fn use_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: changes a number in the allocator, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
