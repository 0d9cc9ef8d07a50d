//! The memory of this process that nobody uses: giving it back.
#![allow(unsafe_code)]

/// Gives memory that the allocator holds and nobody uses back to the system, so that workers do not
/// inherit it. Only glibc has a call for that; other allocators keep theirs.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time and touches free memory only.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
