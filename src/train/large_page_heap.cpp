#include "train/large_page_heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstdlib>

namespace sonar {

void use_large_page_heap(size_t bytes) {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);  // large blocks come from the heap too (the threshold for mmap is capped at 32 MiB)
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  mallopt(M_TOP_PAD, 64 << 20);
  void* block = std::malloc(bytes);
  if (!block) return;  // address space is limited: the heap grows as usual, in small pages
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (uintptr_t(block) + page - 1) / page * page, end = (uintptr_t(block) + bytes) / page * page;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  std::free(block);
  mallopt(M_TRIM_THRESHOLD, -1);
#else
  (void)bytes;
#endif
}

size_t default_heap_bytes() { return size_t(sysconf(_SC_PHYS_PAGES)) * size_t(sysconf(_SC_PAGESIZE)) / 2; }

}  // namespace sonar
