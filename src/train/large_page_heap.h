#pragma once
#include <cstddef>

namespace sonar {

/// Makes malloc keep and reuse large blocks, from memory in large pages. By default the C library gives every
/// activation back to the kernel when it is freed and gets zeroed 4 KiB pages for the next one: page faults are then a
/// large part of a small network's step. Takes address space now, memory only as it is used. Call once, first thing in
/// main(); memory that was in use once stays with the process.
void use_large_page_heap(size_t bytes);

/// Half of the machine's memory.
size_t default_heap_bytes();

}  // namespace sonar
