// A program, and how it is read from text: an instruction a line, as program.py writes them.
//
// Registers are tensors, most of which keep their memory. A call names an operator of torch's
// dispatcher; its arguments are boxed once, here.

#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "chain.h"

namespace tickforge {

using c10::IValue;
using Integers = std::vector<int64_t>;

struct Place { size_t argument; int64_t item, from; };  // item -1: the whole argument
enum class Kind { call, chain, view, seed, drop };

struct Instruction {
  Kind kind;
  std::optional<c10::OperatorHandle> op;
  std::vector<IValue> arguments;
  std::vector<Place> registers, numbers;  // what is put into the arguments at every tick
  std::vector<Integers> results;          // registers of each result; -1 where nobody needs it
  Integers sizes, strides;                // of a view
  int64_t into = 0, of = 0, offset = 0;   // of a view; `of` is also the part of a seed
  Integers dropped;
  std::shared_ptr<Chain> chain;
};

struct Slide { int64_t at, row, offset; };         // consecutive rows: only the offset moves
struct Gather { int64_t at, bytes; bool targets; };  // other rows: copied to one place

struct Program {
  std::vector<at::Tensor> registers;
  std::vector<bool> fixed;  // whether a register keeps its memory
  int64_t loss = -1, norm = -1;
  std::vector<Slide> slides;
  std::vector<Gather> gathers;
  std::vector<Instruction> sections[3];  // forward_backward, optimizer step, restore_buffers
};

inline Integers integers(const std::string& word) {
  Integers found;
  std::istringstream rest(word.substr(1));
  for (std::string item; std::getline(rest, item, ',');) found.push_back(std::stoll(item));
  return found;
}

inline int64_t integer(const std::string& word) { return std::stoll(word.substr(1)); }
inline double real(const std::string& word) { return std::strtod(word.c_str() + 1, nullptr); }

template <typename T>
IValue wrapped(T number, at::ScalarType type) {  // a Python number where the schema has a tensor
  at::Tensor tensor = at::detail::empty_cpu({}, type);
  *tensor.mutable_data_ptr<T>() = number;
  tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
  return tensor;
}

struct Reader {
  Program& program;

  void argument(Instruction& call, const std::string& word) {
    const size_t at = call.arguments.size();
    call.arguments.push_back(value(word));
    if (word[0] == 's') call.numbers.push_back({at, -1, integer(word)});
    if (word[0] != 't' && word[0] != 'T') return;
    const Integers from = integers(word);
    for (size_t i = 0; i < from.size(); ++i)
      if (!program.fixed.at(from[i]))
        call.registers.push_back({at, word[0] == 't' ? -1 : static_cast<int64_t>(i), from[i]});
  }

  IValue value(const std::string& word) {
    switch (word[0]) {
      case 'n': return {};
      case 'i': return integer(word);
      case 'f': return real(word);
      case 's': return 0.0;
      case 'b': return integer(word) != 0;
      case 'v': return wrapped<int64_t>(integer(word), at::kLong);
      case 'w': return wrapped<double>(real(word), at::kDouble);
      case 'c': return c10::Device(c10::kCPU);
      case 'q': return word.substr(1);
      case 'I': return c10::List<int64_t>(integers(word));
      case 't': return program.registers.at(integer(word));
      case 'B': {
        c10::List<bool> list;
        for (int64_t each : integers(word)) list.push_back(each != 0);
        return list;
      }
      case 'T': {
        c10::List<at::Tensor> list;
        for (int64_t each : integers(word)) list.push_back(program.registers.at(each));
        return list;
      }
      default: throw std::invalid_argument("no such argument: " + word);
    }
  }

  Instruction call(std::istringstream& words) {
    Instruction call{Kind::call};
    std::string name, overload, word;
    words >> name >> overload;
    call.op = c10::Dispatcher::singleton().findSchemaOrThrow(
        name.c_str(), overload == "-" ? "" : overload.c_str());
    while (words >> word && word != "->") argument(call, word);
    while (words >> word) call.results.push_back(integers(word));
    return call;
  }

  // multiply:0:0:s0, an operator's name, the operand that it writes, those it reads, its number
  Step step(const std::string& word) {
    std::istringstream parts(word);
    std::string name, out, inputs, number;
    for (std::string* part : {&name, &out, &inputs, &number}) std::getline(parts, *part, ':');
    Step step{kernel_of(name), integer(out), integers(inputs)};
    using Kind = Number::Kind;
    switch (number.at(0)) {
      case 'n': break;
      case 'f': step.number = {Kind::constant, real(number)}; break;
      case 's': step.number = {Kind::slot, 0, integer(number)}; break;
      case 'o': step.number = {Kind::operand, 0, integer(number)}; break;
      default: throw std::invalid_argument("no such number: " + word);
    }
    return step;
  }

  Instruction chain(std::istringstream& words) {
    std::string word;
    words >> word;
    const int64_t temporaries = integer(word);
    std::vector<Step> steps;
    std::vector<Lane> lanes;
    while (words >> word && word != "->") steps.push_back(step(word));
    while (words >> word) {
      Integers numbers = integers(word);  // floats of each tensor, then the registers
      lanes.push_back({numbers.at(0), {numbers.begin() + 1, numbers.end()}});
    }
    Instruction chain{Kind::chain};
    chain.chain = std::make_shared<Chain>(temporaries, std::move(steps), std::move(lanes));
    return chain;
  }

  Instruction view(std::istringstream& words) {
    Instruction view{Kind::view};
    std::string into, of, sizes, strides, offset;
    words >> into >> of >> sizes >> strides >> offset;
    view.into = integer(into), view.of = integer(of), view.offset = integer(offset);
    view.sizes = integers(sizes), view.strides = integers(strides);
    return view;
  }

  void read(const std::string& text) {
    size_t section = 0;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string kind, a, b, c;
      words >> kind;
      auto& into = program.sections[section];
      if (kind == "call") {
        into.push_back(call(words));
      } else if (kind == "chain") {
        into.push_back(chain(words));
      } else if (kind == "view") {
        into.push_back(view(words));
      } else if (kind == "seed") {
        words >> a;
        into.push_back({Kind::seed});
        into.back().of = integer(a);
      } else if (kind == "drop") {
        words >> a;
        into.push_back({Kind::drop});
        into.back().dropped = integers(a);
      } else if (kind == "cut") {
        ++section;
      } else if (kind == "slide") {
        words >> a >> b >> c;
        program.slides.push_back({integer(a), integer(b), integer(c)});
      } else if (kind == "gather") {
        words >> a >> b >> c;
        program.gathers.push_back({integer(a), integer(b), integer(c) != 0});
      } else if (kind == "loss") {
        words >> a, program.loss = integer(a);
      } else if (kind == "norm") {
        words >> a, program.norm = integer(a);
      } else {
        throw std::invalid_argument("no such instruction: " + line);
      }
    }
  }
};

}  // namespace tickforge
