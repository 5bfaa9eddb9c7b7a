// Stands for TensorFlow's own library when the ops are linked, and is never loaded: the
// process that loads the ops has the real one, of the same name, already.

#include "tensorflow_c_api.h"

extern "C" {

TF_Status* TF_NewStatus() { return nullptr; }
void TF_DeleteStatus(TF_Status*) {}
int TF_GetCode(const TF_Status*) { return TF_OK; }
void TF_SetStatus(TF_Status*, int, const char*) {}
TF_OpDefinitionBuilder* TF_NewOpDefinitionBuilder(const char*) { return nullptr; }
void TF_OpDefinitionBuilderAddInput(TF_OpDefinitionBuilder*, const char*) {}
void TF_OpDefinitionBuilderAddOutput(TF_OpDefinitionBuilder*, const char*) {}
void TF_OpDefinitionBuilderAddAttr(TF_OpDefinitionBuilder*, const char*) {}
void TF_OpDefinitionBuilderSetShapeInferenceFunction(TF_OpDefinitionBuilder*,
                                                     void (*)(TF_ShapeInferenceContext*,
                                                              TF_Status*)) {}
void TF_RegisterOpDefinition(TF_OpDefinitionBuilder*, TF_Status*) {}
TF_ShapeHandle* TF_NewShapeHandle() { return nullptr; }
void TF_DeleteShapeHandle(TF_ShapeHandle*) {}
void TF_ShapeInferenceContextGetInput(TF_ShapeInferenceContext*, int, TF_ShapeHandle*,
                                      TF_Status*) {}
void TF_ShapeInferenceContextSetOutput(TF_ShapeInferenceContext*, int, TF_ShapeHandle*,
                                       TF_Status*) {}
TF_KernelBuilder* TF_NewKernelBuilder(const char*, const char*,
                                      void* (*)(TF_OpKernelConstruction*),
                                      void (*)(void*, TF_OpKernelContext*),
                                      void (*)(void*)) {
  return nullptr;
}
void TF_RegisterKernelBuilder(const char*, TF_KernelBuilder*, TF_Status*) {}
void TF_OpKernelConstruction_GetAttrBool(TF_OpKernelConstruction*, const char*,
                                         unsigned char*, TF_Status*) {}
void TF_OpKernelConstruction_Failure(TF_OpKernelConstruction*, TF_Status*) {}
void TF_OpKernelContext_Failure(TF_OpKernelContext*, TF_Status*) {}
void TF_GetInput(TF_OpKernelContext*, int, TF_Tensor**, TF_Status*) {}
TF_Tensor* TF_AllocateOutput(TF_OpKernelContext*, int, int, const int64_t*, int, size_t,
                             TF_Status*) {
  return nullptr;
}
void* TF_TensorData(const TF_Tensor*) { return nullptr; }
int64_t TF_TensorElementCount(const TF_Tensor*) { return 0; }
int TF_NumDims(const TF_Tensor*) { return 0; }
int64_t TF_Dim(const TF_Tensor*, int) { return 0; }
void TF_DeleteTensor(TF_Tensor*) {}

}  // extern "C"
