// A chain of elementwise operators, run in one pass: each block of memory goes through all of them
// while it is in a near cache. fusion.py finds chains.
//
// A block is for the square roots, which are calls of torch; what lies between two of them goes by
// pieces that fit into the nearest cache.
// A chain has lanes, groups of tensors of one size that touch no other lane's memory. The operands of
// a lane are its tensors and, after them, temporary values, which are a block of memory and no more.

#pragma once

#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "elementwise.h"

namespace tickforge {

constexpr int64_t kBlock = 16384;  // floats: five operands in 320 KB
constexpr int64_t kPiece = 1024;
constexpr int64_t kMinForThreads = at::internal::GRAIN_SIZE;  // floats, as where torch splits work

struct Number {  // a constant, a number of the tick, or the first element of an operand
  enum class Kind { none, constant, slot, operand } kind = Kind::none;
  double constant = 0;
  int64_t index = 0;
};

struct Step {
  Kernel kernel;
  int64_t out;
  std::vector<int64_t> inputs;  // one to three
  Number number;
};

struct Lane { int64_t count; std::vector<int64_t> registers; };
struct Block { size_t lane; int64_t first, count; };
struct Stage { size_t first, last; int64_t length; };  // steps that take turns, on as many floats

class Chain {
 public:
  Chain(int64_t temporaries, std::vector<Step> steps, std::vector<Lane> lanes)
      : temporaries_(temporaries), steps_(std::move(steps)), lanes_(std::move(lanes)) {
    for (size_t i = 0; i < steps_.size(); ++i) {
      const bool is_root = steps_[i].kernel == square_root;
      if (is_root || stages_.empty() || stages_.back().length == kBlock)
        stages_.push_back({i, i, is_root ? kBlock : kPiece});
      ++stages_.back().last;
    }
    for (size_t lane = 0; lane < lanes_.size(); ++lane)
      for (int64_t first = 0; first < lanes_[lane].count; first += kBlock)
        blocks_.push_back({lane, first, std::min(kBlock, lanes_[lane].count - first)});
    for (const Lane& lane : lanes_) count_ += lane.count;
    indices_ = at::detail::empty_cpu({static_cast<int64_t>(blocks_.size())}, at::kLong);
    for (size_t i = 0; i < blocks_.size(); ++i) indices_.mutable_data_ptr<int64_t>()[i] = i;
  }

  // `numbers`: those of the tick.
  void run(const std::vector<at::Tensor>& registers, const double* numbers) {
    operands_.clear();
    for (const Lane& lane : lanes_)
      for (int64_t at : lane.registers)
        operands_.push_back(static_cast<float*>(registers[at].mutable_data_ptr()));
    if (at::get_num_threads() == 1 || count_ < kMinForThreads) {
      run_blocks(0, blocks_.size(), numbers);
      return;
    }
    // torch's own threads, without compiling with OpenMP: an iterator over the blocks' indices
    auto iterator = at::TensorIteratorConfig()
                        .add_output(indices_).resize_outputs(false).check_all_same_dtype(false)
                        .build();
    iterator.for_each([&](char** data, const int64_t*, int64_t count) {
      const int64_t first = *reinterpret_cast<int64_t*>(data[0]);
      run_blocks(first, first + count, numbers);
    }, kMinForThreads / kBlock);
  }

 private:
  void run_blocks(size_t first, size_t last, const double* numbers) const {
    thread_local std::vector<float> temporaries;
    temporaries.resize(std::max<size_t>(temporaries.size(), temporaries_ * kBlock));
    for (size_t i = first; i < last; ++i) run_block(blocks_[i], temporaries.data(), numbers);
  }

  void run_block(const Block& block, float* temporaries, const double* numbers) const {
    const int64_t tensors = lanes_[block.lane].registers.size();
    float* const* operands = operands_.data() + block.lane * tensors;
    for (const Stage& stage : stages_)
      for (int64_t at = 0; at < block.count; at += stage.length) {
        const int64_t count = std::min(stage.length, block.count - at);
        const auto memory = [&](int64_t operand) {
          return operand < tensors ? operands[operand] + block.first + at
                                   : temporaries + (operand - tensors) * kBlock + at;
        };
        for (size_t i = stage.first; i < stage.last; ++i) {
          const Step& step = steps_[i];
          const float* inputs[3] = {};
          for (size_t j = 0; j < step.inputs.size(); ++j) inputs[j] = memory(step.inputs[j]);
          step.kernel(memory(step.out), inputs[0], inputs[1], inputs[2],
                      value(step.number, operands, numbers), count);
        }
      }
  }

  static float value(const Number& number, float* const* operands, const double* numbers) {
    switch (number.kind) {
      case Number::Kind::constant: return static_cast<float>(number.constant);
      case Number::Kind::slot: return static_cast<float>(numbers[number.index]);
      case Number::Kind::operand: return operands[number.index][0];
      default: return 0;
    }
  }

  int64_t temporaries_;
  std::vector<Step> steps_;
  std::vector<Lane> lanes_;  // all with as many registers
  std::vector<Stage> stages_;
  std::vector<Block> blocks_;
  std::vector<float*> operands_;  // of the lanes, one after another; set at every tick
  int64_t count_ = 0;   // floats of all lanes
  at::Tensor indices_;  // of the blocks
};

}  // namespace tickforge
