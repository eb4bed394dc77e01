// Traces for tests: hand-made and random.
#pragma once
#include <fstream>
#include <string>

#include "records/temporary_folder.h"

namespace sonar::test {

/// A trace's folder of the test's own, removed at the end.
class TraceFolder {
 public:
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path + "/" + name, std::ios::binary) << text;
  }

 private:
  TemporaryFolder folder_;

 public:
  const std::string path = folder_.path();
};

/// Four networks, three subgraphs, worked out by hand:
///   network   training (4 epochs)             subgraphs   final accuracy, latency
///   small     0.40 at 2, 0.50 at 4; 40 s      a:1         0.50, 10
///   middle    0.50 at 2, 0.70 at 4; 80 s      a:1 b:1     0.70, 30
///   large     0.70 at 2, 0.90 at 4; 160 s     a:2 c:1     0.90, 60
///   useless   0.30 at 2, 0.45 at 4; 120 s     b:2 c:1     0.45, 80
/// Tuning: a 20, 10 us at 1, 11 programs, 11 s; b 40, 20 us, 22 s; c 100, 40 us, 33 s.
inline void write_hand_made(const TraceFolder& folder) {
  folder.write("networks.csv",
               "network,subgraphs,chance,macs\nsmall,a:1,0.1,10\nmiddle,a:1;b:1,0.1,30\nlarge,a:2;c:1,0.1,60\n"
               "useless,b:2;c:1,0.1,70\n");
  folder.write("training.csv",
               "network,epoch,val_accuracy,seconds\nsmall,2,0.4,20\nsmall,4,0.5,40\nmiddle,2,0.5,40\nmiddle,4,0.7,80\n"
               "large,2,0.7,80\nlarge,4,0.9,160\nuseless,2,0.3,60\nuseless,4,0.45,120\n");
  folder.write(
      "tuning.csv",
      "subgraph,programs,latency_us,seconds\na,1,20,1\na,11,10,11\nb,1,40,2\nb,11,20,22\nc,1,100,3\nc,11,40,33\n");
}

}  // namespace sonar::test
