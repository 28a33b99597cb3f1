// Runs many ticks of programs: torch's own CPU kernels, called one after another.
//
// Only arguments that change from tick to tick are set again, so a tick costs its kernels and about
// 0.1 us a call. Knows no net, no optimizer and no Python, whose lock is not held while it runs.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/LegacyTypeDispatch.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>

#include "program.h"

namespace {

using namespace tickforge;

struct Ticks {  // arrays of one entry a tick
  int64_t count, parts, width;
  const int64_t *program, *first;  // which program, and the batch's first row
  const char *inputs, *targets;    // the rows to copy
  const uint64_t* seeds;           // [count, parts]
  const double* numbers;           // [count, width]
  float *losses, *norms;
};

thread_local std::string failure;

class Runner {
 public:
  explicit Runner(const Ticks& ticks) : ticks_(ticks) { stack_.reserve(32); }

  // Returns the number of ticks run; less than all where a loss is not finite.
  int64_t run(Program** programs) {
    for (tick_ = 0; tick_ < ticks_.count; ++tick_) {
      Program& program = *programs[ticks_.program[tick_]];
      feed(program);
      execute(program, 0);
      const float loss = *program.registers[program.loss].const_data_ptr<float>();
      ticks_.losses[tick_] = loss;
      if (program.norm >= 0)
        ticks_.norms[tick_] = *program.registers[program.norm].const_data_ptr<float>();
      execute(program, std::isfinite(loss) ? 1 : 2);
      if (!std::isfinite(loss)) return tick_ + 1;
    }
    return tick_;
  }

 private:
  void feed(Program& program) {
    const int64_t first = ticks_.first[tick_];
    for (const Slide& slide : program.slides)
      program.registers[slide.at].unsafeGetTensorImpl()->set_storage_offset(
          slide.offset + first * slide.row);
    for (const Gather& gather : program.gathers) {
      const at::Tensor& into = program.registers[gather.at];
      const char* from = gather.targets ? ticks_.targets : ticks_.inputs;
      std::memcpy(into.mutable_data_ptr(), from + first * gather.bytes, into.nbytes());
    }
  }

  void execute(Program& program, int section) {
    for (Instruction& each : program.sections[section]) {
      switch (each.kind) {
        case Kind::call: call(program, each); break;
        case Kind::chain:
          each.chain->run(program.registers, ticks_.numbers + tick_ * ticks_.width);
          break;
        case Kind::view: {
          const at::Tensor& of = program.registers[each.of];
          program.registers[each.into] =
              of.as_strided(each.sizes, each.strides, of.storage_offset() + each.offset);
          break;
        }
        case Kind::seed: seed(each.of); break;
        case Kind::drop:
          for (int64_t at : each.dropped) program.registers[at].reset();
      }
    }
  }

  void call(Program& program, Instruction& call) {
    for (const Place& place : call.registers) {
      const at::Tensor& now = program.registers[place.from];
      IValue& argument = call.arguments[place.argument];
      if (place.item < 0) argument = now;
      else argument.toTensorList().set(place.item, now);
    }
    for (const Place& place : call.numbers)
      call.arguments[place.argument] = ticks_.numbers[tick_ * ticks_.width + place.from];
    stack_.assign(call.arguments.begin(), call.arguments.end());
    try {
      call.op->callBoxed(&stack_);
    } catch (const std::exception& error) {
      throw std::runtime_error(call.op->schema().name() + ": " + error.what());
    }
    for (size_t i = 0; i < call.results.size(); ++i) keep(program, call.results[i], stack_[i]);
    for (const Place& place : call.registers) {  // so that what is dropped is freed
      if (place.item < 0) call.arguments[place.argument] = IValue();
      else call.arguments[place.argument].toTensorList().set(place.item, at::Tensor());
    }
  }

  static void keep(Program& program, const Integers& into, IValue& result) {
    if (result.isTensorList()) {
      const auto list = result.toTensorList();
      for (size_t i = 0; i < into.size(); ++i)
        if (into[i] >= 0) program.registers[into[i]] = list.get(i);
    } else if (into[0] >= 0) {
      program.registers[into[0]] = std::move(result).toTensor();
    }
  }

  void seed(int64_t part) {
    auto dice = at::detail::getDefaultCPUGenerator();
    std::lock_guard<std::mutex> lock(dice.mutex());
    dice.set_current_seed(ticks_.seeds[tick_ * ticks_.parts + part]);
  }

  const Ticks& ticks_;
  int64_t tick_ = 0;
  torch::jit::Stack stack_;
};

}  // namespace

extern "C" {

const char* tickforge_failure() { return failure.c_str(); }

// `tensors`: for each register the tensor whose memory it keeps, or null.
void* tickforge_read(const char* text, void** tensors, int64_t registers) {
  try {
    auto program = std::make_unique<Program>();
    for (int64_t i = 0; i < registers; ++i) {
      auto* kept = static_cast<at::Tensor*>(tensors[i]);
      program->registers.push_back(kept ? *kept : at::Tensor());
      program->fixed.push_back(kept != nullptr);
    }
    Reader{*program}.read(text);
    return program.release();
  } catch (const std::exception& error) {
    failure = error.what();
    return nullptr;
  }
}

void tickforge_free(void* program) { delete static_cast<Program*>(program); }

// Returns the number of ticks run, or -1.
int64_t tickforge_run(void** programs, const Ticks* ticks) {
  try {
    at::AutoDispatchBelowADInplaceOrView below;  // straight to the kernels: nothing is recorded
    return Runner(*ticks).run(reinterpret_cast<Program**>(programs));
  } catch (const std::exception& error) {
    failure = error.what();
    return -1;
  }
}
}
