// TensorFlow's ops on CPUs: thin, all logic is in top_k.cc.

#include <exception>
#include <vector>

#include "tensorflow_c_api.h"
#include "top_k.h"

namespace tfsupermask {
namespace {

class Status {
 public:
  Status() : status_(TF_NewStatus()) {}
  ~Status() { TF_DeleteStatus(status_); }
  Status(const Status&) = delete;
  Status& operator=(const Status&) = delete;

  TF_Status* get() const { return status_; }
  bool ok() const { return TF_GetCode(status_) == TF_OK; }
  void Fail(const char* message) {
    TF_SetStatus(status_, TF_INVALID_ARGUMENT, message);
  }

 private:
  TF_Status* status_;
};

class Input {
 public:
  Input(TF_OpKernelContext* context, int index, const Status& status) {
    TF_GetInput(context, index, &tensor_, status.get());
  }
  ~Input() {
    if (tensor_ != nullptr) TF_DeleteTensor(tensor_);
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  template <typename T>
  const T* data() const {
    return static_cast<const T*>(TF_TensorData(tensor_));
  }
  int64_t size() const { return TF_TensorElementCount(tensor_); }
  std::vector<int64_t> shape() const {
    std::vector<int64_t> dims(TF_NumDims(tensor_));
    for (int i = 0; i < static_cast<int>(dims.size()); ++i)
      dims[i] = TF_Dim(tensor_, i);
    return dims;
  }

 private:
  TF_Tensor* tensor_ = nullptr;
};

class Output {
 public:
  Output(TF_OpKernelContext* context, const Input& like, const Status& status) {
    const std::vector<int64_t> dims = like.shape();
    tensor_ = TF_AllocateOutput(context, 0, TF_FLOAT, dims.data(),
                                static_cast<int>(dims.size()),
                                like.size() * sizeof(float), status.get());
  }
  ~Output() {
    if (tensor_ != nullptr) TF_DeleteTensor(tensor_);
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  float* data() const { return static_cast<float*>(TF_TensorData(tensor_)); }

 private:
  TF_Tensor* tensor_;
};

// A kernel's only state is its attribute.
void* Create(TF_OpKernelConstruction* construction) {
  Status status;
  unsigned char by_magnitude = 0;
  TF_OpKernelConstruction_GetAttrBool(construction, "by_magnitude", &by_magnitude,
                                      status.get());
  if (!status.ok()) TF_OpKernelConstruction_Failure(construction, status.get());
  return new Ranking(by_magnitude ? Ranking::kMagnitude : Ranking::kScore);
}

void Destroy(void* kernel) { delete static_cast<Ranking*>(kernel); }

// Runs `work(status)`, and tells TensorFlow what went wrong.
template <typename Work>
void Guarded(TF_OpKernelContext* context, const Work& work) {
  Status status;
  try {
    work(status);
  } catch (const std::exception& error) {
    status.Fail(error.what());
  }
  if (!status.ok()) TF_OpKernelContext_Failure(context, status.get());
}

void ComputeMask(void* kernel, TF_OpKernelContext* context) {
  Guarded(context, [&](Status& status) {
    const Input values(context, 0, status), scores(context, 1, status);
    const Input k(context, 2, status);
    if (!status.ok()) return;
    if (values.size() != scores.size()) return status.Fail("Shapes must be equal.");
    const int64_t num_kept = *k.data<int32_t>();
    if (num_kept < 1 || num_kept > scores.size()) {
      return status.Fail("`k` must be in [1, number of scores].");
    }
    const Output masked(context, scores, status);
    if (!status.ok()) return;
    MaskAllButTopK(scores.data<float>(), values.data<float>(), scores.size(), num_kept,
                   *static_cast<Ranking*>(kernel), 0, masked.data());
  });
}

void ComputeGradient(void* kernel, TF_OpKernelContext* context) {
  Guarded(context, [&](Status& status) {
    const Input upstream(context, 0, status), weights(context, 1, status);
    const Input scores(context, 2, status);
    if (!status.ok()) return;
    if (upstream.size() != scores.size() || weights.size() != scores.size()) {
      return status.Fail("Shapes must be equal.");
    }
    const Output gradient(context, scores, status);
    if (!status.ok()) return;
    StraightThrough(upstream.data<float>(), weights.data<float>(), scores.data<float>(),
                    scores.size(), *static_cast<Ranking*>(kernel), 0, gradient.data());
  });
}

void ShapeOfFirstInput(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle* shape = TF_NewShapeHandle();
  TF_ShapeInferenceContextGetInput(context, 0, shape, status);
  if (TF_GetCode(status) == TF_OK) {
    TF_ShapeInferenceContextSetOutput(context, 0, shape, status);
  }
  TF_DeleteShapeHandle(shape);
}

void Register(const char* name, const std::vector<const char*>& inputs,
              void (*compute)(void*, TF_OpKernelContext*)) {
  Status status;
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder(name);
  for (const char* input : inputs) TF_OpDefinitionBuilderAddInput(op, input);
  TF_OpDefinitionBuilderAddOutput(op, "output: float");
  TF_OpDefinitionBuilderAddAttr(op, "by_magnitude: bool");
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, &ShapeOfFirstInput);
  TF_RegisterOpDefinition(op, status.get());
  if (!status.ok()) return;
  TF_RegisterKernelBuilder(
      name, TF_NewKernelBuilder(name, "CPU", &Create, compute, &Destroy), status.get());
}

// TensorFlow looks for what a library registers while it loads it.
const bool kRegistered = [] {
  Register("SupermaskMaskAllButTopK", {"values: float", "scores: float", "k: int32"},
           &ComputeMask);
  Register("SupermaskStraightThrough",
           {"upstream: float", "kernel: float", "scores: float"}, &ComputeGradient);
  return true;
}();

}  // namespace
}  // namespace tfsupermask
