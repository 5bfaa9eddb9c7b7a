// TensorFlow's ops on CPUs: thin, all logic is in top_k.cc.

#include <exception>
#include <memory>
#include <vector>

#include "tensorflow_c_api.h"
#include "top_k.h"

namespace tfsupermask {
namespace {

struct Delete {
  void operator()(TF_Status* status) const { TF_DeleteStatus(status); }
  void operator()(TF_Tensor* tensor) const { TF_DeleteTensor(tensor); }
};
using StatusPointer = std::unique_ptr<TF_Status, Delete>;
using Tensor = std::unique_ptr<TF_Tensor, Delete>;

bool Ok(const TF_Status* status) { return TF_GetCode(status) == TF_OK; }

Tensor Input(TF_OpKernelContext* context, int index, TF_Status* status) {
  TF_Tensor* tensor = nullptr;
  TF_GetInput(context, index, &tensor, status);
  return Tensor(tensor);
}

int64_t Size(const Tensor& tensor) { return TF_TensorElementCount(tensor.get()); }

Tensor Output(TF_OpKernelContext* context, const Tensor& like, TF_Status* status) {
  std::vector<int64_t> dims;
  for (int i = 0; i < TF_NumDims(like.get()); ++i) {
    dims.push_back(TF_Dim(like.get(), i));
  }
  return Tensor(TF_AllocateOutput(context, 0, TF_FLOAT, dims.data(),
                                  static_cast<int>(dims.size()),
                                  Size(like) * sizeof(float), status));
}

template <typename T = float>
T* Data(const Tensor& tensor) {
  return static_cast<T*>(TF_TensorData(tensor.get()));
}

// A kernel's only state is its attribute.
void* Create(TF_OpKernelConstruction* construction) {
  const StatusPointer status(TF_NewStatus());
  unsigned char by_magnitude = 0;
  TF_OpKernelConstruction_GetAttrBool(construction, "by_magnitude", &by_magnitude,
                                      status.get());
  if (!Ok(status.get())) TF_OpKernelConstruction_Failure(construction, status.get());
  return new Ranking(by_magnitude ? Ranking::kMagnitude : Ranking::kScore);
}

void Destroy(void* kernel) { delete static_cast<Ranking*>(kernel); }

void Fail(TF_Status* status, const char* message) {
  TF_SetStatus(status, TF_INVALID_ARGUMENT, message);
}

// Runs `work(status)`, and tells TensorFlow what went wrong.
template <typename Work>
void Guarded(TF_OpKernelContext* context, const Work& work) {
  const StatusPointer status(TF_NewStatus());
  try {
    work(status.get());
  } catch (const std::exception& error) {
    Fail(status.get(), error.what());
  }
  if (!Ok(status.get())) TF_OpKernelContext_Failure(context, status.get());
}

void ComputeMask(void* kernel, TF_OpKernelContext* context) {
  Guarded(context, [&](TF_Status* status) {
    const Tensor values = Input(context, 0, status), scores = Input(context, 1, status);
    const Tensor k = Input(context, 2, status);
    if (!Ok(status)) return;
    if (Size(values) != Size(scores)) return Fail(status, "Shapes must be equal.");
    const int64_t num_kept = *Data<int32_t>(k);
    if (num_kept < 1 || num_kept > Size(scores)) {
      return Fail(status, "`k` must be in [1, number of scores].");
    }
    const Tensor masked = Output(context, scores, status);
    if (!Ok(status)) return;
    MaskAllButTopK(Data(scores), Data(values), Size(scores), num_kept,
                   *static_cast<Ranking*>(kernel), 0, Data(masked));
  });
}

void ComputeGradient(void* kernel, TF_OpKernelContext* context) {
  Guarded(context, [&](TF_Status* status) {
    const Tensor upstream = Input(context, 0, status);
    const Tensor weights = Input(context, 1, status),
                 scores = Input(context, 2, status);
    if (!Ok(status)) return;
    if (Size(upstream) != Size(scores) || Size(weights) != Size(scores)) {
      return Fail(status, "Shapes must be equal.");
    }
    const Tensor gradient = Output(context, scores, status);
    if (!Ok(status)) return;
    StraightThrough(Data(upstream), Data(weights), Data(scores), Size(scores),
                    *static_cast<Ranking*>(kernel), 0, Data(gradient));
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
  const StatusPointer status(TF_NewStatus());
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder(name);
  for (const char* input : inputs) TF_OpDefinitionBuilderAddInput(op, input);
  TF_OpDefinitionBuilderAddOutput(op, "output: float");
  TF_OpDefinitionBuilderAddAttr(op, "by_magnitude: bool");
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, &ShapeOfFirstInput);
  TF_RegisterOpDefinition(op, status.get());
  if (!Ok(status.get())) return;
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
