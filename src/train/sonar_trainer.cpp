// sonar-trainer: the built-in trainer, a child process that speaks the protocol of protocol.md.
#include <clocale>
#include <iostream>

#include "train/large_page_heap.h"
#include "train/serve.h"

int main() {
  sonar::use_large_page_heap(sonar::default_heap_bytes());
  std::setlocale(LC_CTYPE, "C.UTF-8");  // names in archives are UTF-8
  std::ios::sync_with_stdio(false);
  sonar::serve(std::cin, std::cout);
  return 0;
}
