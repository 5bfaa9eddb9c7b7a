#ifndef TFSUPERMASK_CSRC_PYTHON_ARGUMENTS_H_
#define TFSUPERMASK_CSRC_PYTHON_ARGUMENTS_H_

// Python's arguments as C++ values, or one sentence about what is wrong with them.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <limits>
#include <string>

namespace py = pybind11;

namespace tfsupermask {
inline constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
inline constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
inline constexpr int64_t kMaxThreads = 1024;

// Index arrays are small beside the images: one that is not C-contiguous and aligned,
// such as a column of positions, is copied into one that is.
template <typename T>
using IndexArray =
    py::array_t<T, py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_>;

inline py::value_error Fail(const std::string& expected, const std::string& received) {
  return py::value_error(expected + " Received: " + received);
}

inline std::string Repr(const py::handle& value) {
  return py::repr(value).cast<std::string>();
}

inline std::string Shape(const py::array& array) {
  return "shape=" + Repr(array.attr("shape"));
}

// Python's or NumPy's; older NumPys let theirs pass for an integer.
inline bool IsBool(const py::handle& value) {
  return PyBool_Check(value.ptr()) ||
         py::isinstance(value, py::module_::import("numpy").attr("bool_"));
}

inline bool IsInteger(const py::handle& value) {
  return PyIndex_Check(value.ptr()) != 0 && !IsBool(value) &&
         !py::isinstance<py::array>(value);
}

// `value` as a Python int, or nothing if it is no integer.
inline py::object PythonInteger(const py::handle& value) {
  PyObject* integer = IsInteger(value) ? PyNumber_Index(value.ptr()) : nullptr;
  if (integer == nullptr) PyErr_Clear();
  return py::reinterpret_steal<py::object>(integer);
}

inline int64_t Integer(const char* name, const py::handle& value, int64_t minimum,
                       int64_t maximum) {
  if (const py::object integer = PythonInteger(value)) {
    int overflow = 0;
    const int64_t result = PyLong_AsLongLongAndOverflow(integer.ptr(), &overflow);
    if (overflow == 0 && result >= minimum && result <= maximum) return result;
  }
  const std::string range =
      maximum == kMaxInt64
          ? "of at least " + std::to_string(minimum)
          : "in [" + std::to_string(minimum) + ", " + std::to_string(maximum) + "]";
  throw Fail("`" + std::string(name) + "` must be an integer " + range + ".",
             name + ("=" + Repr(value)));
}

inline int32_t Pixels(const char* name, const py::handle& value) {
  return static_cast<int32_t>(Integer(name, value, 1, kMaxInt32));
}

inline int NumThreads(const py::handle& value) {
  return static_cast<int>(Integer("num_threads", value, 0, kMaxThreads));
}

inline uint64_t Seed(const py::handle& value) {
  if (const py::object integer = PythonInteger(value)) {
    const uint64_t seed = PyLong_AsUnsignedLongLong(integer.ptr());
    if (!PyErr_Occurred()) return seed;
    PyErr_Clear();  // Negative or too large.
  }
  throw Fail("`seed` must be an integer in [0, 2**64).", "seed=" + Repr(value));
}

// Any real number, NumPy's included, but neither a bool nor an array.
inline bool IsNumber(const py::handle& value) {
  const PyNumberMethods* methods = Py_TYPE(value.ptr())->tp_as_number;
  return IsInteger(value) || (methods != nullptr && methods->nb_float != nullptr &&
                              !IsBool(value) && !py::isinstance<py::array>(value));
}

inline double Fraction(const char* name, const py::handle& value) {
  const double number = IsNumber(value) ? PyFloat_AsDouble(value.ptr()) : -1;
  if (PyErr_Occurred()) PyErr_Clear();  // Too large or not real; reported below.
  if (number > 0 && number <= 1) return number;
  throw Fail("`" + std::string(name) + "` must be a number in (0, 1].",
             name + ("=" + Repr(value)));
}

inline py::array AnyArray(const char* name, const char* dtypes,
                          const py::handle& value) {
  if (py::isinstance<py::array>(value)) return py::reinterpret_borrow<py::array>(value);
  throw Fail("`" + std::string(name) + "` must be a NumPy array of " + dtypes + ".",
             "type=" + Repr(py::type::handle_of(value).attr("__name__")));
}

template <typename T>
IndexArray<T> Indices(const char* name, const py::handle& value) {
  const std::string dtype = py::str(py::dtype::of<T>());
  const py::array array = AnyArray(name, dtype.c_str(), value);
  if (!py::isinstance<py::array_t<T>>(array)) {
    throw Fail("`" + std::string(name) + "` must have dtype " + dtype + ".",
               "dtype=" + std::string(py::str(array.dtype())));
  }
  auto result = IndexArray<T>::ensure(array);
  if (!result) throw py::error_already_set();
  return result;
}

}  // namespace tfsupermask

#endif  // TFSUPERMASK_CSRC_PYTHON_ARGUMENTS_H_
